#![no_main]
#![allow(dead_code, reason = "each target uses one of them")]

mod loaders;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| loaders::torch_file(bytes));
