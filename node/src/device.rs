//! `--device`: where contributions are trained and proved.
use crate::bars::Bars;
use crate::failure::Failure;
use std::fmt;
use std::str::FromStr;
use weightproof_gpu_kernels::cpu::session::Cpu;
use weightproof_gpu_kernels::device::{cuda, cuda_devices};
use weightproof_gpu_kernels::kernels::Kernels;
use weightproof_prover::progress::Progress;

/// What was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceName {
    /// The first CUDA device, or the CPU where there is none.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// One CUDA device.
    Cuda(usize),
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ordinal = |text: &str| {
            let number: usize = text.strip_prefix("cuda:")?.parse().ok()?;
            // One way to write each.
            (format!("cuda:{number}") == text).then_some(number)
        };
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            text => ordinal(text).map(Self::Cuda).ok_or_else(|| {
                format!("expected auto, cpu or cuda:N with a device's number, found `{text}`")
            }),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => write!(formatter, "auto"),
            Self::Cpu => write!(formatter, "cpu"),
            Self::Cuda(ordinal) => write!(formatter, "cuda:{ordinal}"),
        }
    }
}

impl DeviceName {
    /// Opens the device. Under `auto`, a GPU that cannot be used is named and the CPU taken.
    ///
    /// # Errors
    /// [`Failure::Usage`] when a certain CUDA device was asked for and cannot be used.
    pub fn open(self, bars: &Bars) -> Result<Box<dyn Kernels>, Failure> {
        match self {
            Self::Cpu => Ok(Box::new(Cpu::new())),
            Self::Cuda(ordinal) => {
                bars.begin("cuda kernels", 0);
                cuda(ordinal).map_err(|error| {
                    Failure::Usage(format!(
                        "expected to use cuda:{ordinal} of {} CUDA devices, found: {error}; give --device auto or cpu to go on without it",
                        cuda_devices()
                    ))
                })
            }
            Self::Auto if cuda_devices() == 0 => Self::Cpu.open(bars),
            Self::Auto => {
                bars.begin("cuda kernels", 0);
                cuda(0).or_else(|error| {
                    bars.note(&format!("{error}; the CPU is used"));
                    Self::Cpu.open(bars)
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for device in [DeviceName::Auto, DeviceName::Cpu, DeviceName::Cuda(0), DeviceName::Cuda(13)] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        for text in ["", "gpu", "cuda", "cuda:", "cuda:x", "cuda:-1", "cuda:+1", "cuda:01", "CPU"] {
            let error = text.parse::<DeviceName>().expect_err("not a device");
            assert!(error.contains("expected auto, cpu or cuda:N"), "{error}");
        }
    }

    #[test]
    fn without_a_gpu_auto_is_the_cpu_and_a_certain_gpu_is_refused() {
        let bars = Bars::new();
        if cuda_devices() > 0 {
            return;
        }
        let device = DeviceName::Auto.open(&bars).expect("the CPU is always there").device();
        assert!(device.starts_with("cpu ("), "{device}");
        let Err(Failure::Usage(message)) = DeviceName::Cuda(0).open(&bars) else { panic!("opened a GPU") };
        assert!(message.starts_with("expected to use cuda:0 of 0 CUDA devices, found: "), "{message}");
    }
}
