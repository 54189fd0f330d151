//! zero_knowledge
