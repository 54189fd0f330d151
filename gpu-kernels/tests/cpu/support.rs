//! What several tests need.

use weightproof_gpu_kernels::cpu::session::Cpu;
use weightproof_gpu_kernels::kernels::{Kernels, Session};

use crate::instance::{Draw, Instance};

impl Draw {
    /// Below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.word() % bound as u64) as usize
    }

    /// Any 32-bit integer, often an extreme one or one that is not far from zero.
    pub fn integer(&mut self) -> i32 {
        match self.below(8) {
            0 => i32::MIN,
            1 => i32::MAX,
            2 => self.word() as i32,
            3 => self.signed(1 << 16) as i32,
            4 => 0,
            _ => self.signed(20) as i32,
        }
    }
}

impl Instance {
    /// Runs `test` in a session with the widest instructions and in one with the portable ones.
    pub fn on_both<R>(&self, test: impl Fn(&dyn Session) -> R) -> [R; 2] {
        [Cpu::new(), Cpu::portable()].map(|cpu| test(&*cpu.open(self.tensors()).unwrap()))
    }
}
