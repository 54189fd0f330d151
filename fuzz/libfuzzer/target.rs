//! Every target is this file: its name chooses the decoder.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weightproof_fuzz::run(env!("CARGO_BIN_NAME"), bytes));
