//! Which rows of a dataset a contribution trains on.
