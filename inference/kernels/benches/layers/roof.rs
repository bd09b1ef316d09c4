//! What the processor could do at best, measured: products a second, and bytes a second from each cache.

use kernels::{Isa, Precision};

use crate::least_ms;

/// Products that are under way at a time: enough that none waits for another (latency 4, two units).
const UNDER_WAY: usize = 14;
const ROUNDS: usize = 200_000;

/// The highest rate of multiplications with additions, in GFLOP/s (two for each); none where nothing measures it.
pub fn peak(isa: Isa, precision: Precision) -> Option<f64> {
    let (products, lanes): (fn(), usize) = match (isa, precision) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: whoever times an instruction set has it.
        (Isa::Avx512, Precision::F32) => (|| unsafe { wide::in_f32() }, 16),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above; `has_bf16` is asked first.
        (Isa::Avx512, Precision::Bf16) if isa.has_bf16() => (|| unsafe { wide::in_bf16() }, 32),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        (Isa::Avx2, Precision::F32) => (|| unsafe { wide::in_f32_of_avx2() }, 8),
        _ => return None,
    };
    Some(2.0 * (lanes * UNDER_WAY * ROUNDS) as f64 / least_ms(products) / 1e6)
}

/// Gigabytes a second that one thread reads of so many bytes again and again: from the cache that holds them.
pub fn bandwidth(bytes: usize) -> f64 {
    let numbers = vec![1.0_f32; (bytes / size_of::<f32>()).max(1024)];
    let times = (1 << 24) / (numbers.len() * size_of::<f32>()) + 1;
    let ms = least_ms(|| {
        for _ in 0..times {
            // the largest of sixteen lanes side by side: one load and one comparison each
            let mut most = [[0.0_f32; 16]; 4];
            for lines in std::hint::black_box(&numbers).as_chunks::<64>().0 {
                for (most, line) in most.iter_mut().zip(lines.as_chunks::<16>().0) {
                    most.iter_mut()
                        .zip(line)
                        .for_each(|(most, it)| *most = if *it > *most { *it } else { *most });
                }
            }
            std::hint::black_box(most);
        }
    });
    (times * numbers.len() * size_of::<f32>()) as f64 / ms / 1e6
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    use super::{ROUNDS, UNDER_WAY};

    #[target_feature(enable = "avx512f")]
    pub fn in_f32() {
        let by = _mm512_set1_ps(black_box(1.0));
        let mut sums = [_mm512_setzero_ps(); UNDER_WAY];
        for _ in 0..ROUNDS {
            sums.iter_mut().for_each(|sum| *sum = _mm512_fmadd_ps(by, by, *sum));
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    pub fn in_bf16() {
        let by = _mm512_cvtne2ps_pbh(_mm512_set1_ps(black_box(1.0)), _mm512_set1_ps(black_box(1.0)));
        let mut sums = [_mm512_setzero_ps(); UNDER_WAY];
        for _ in 0..ROUNDS {
            sums.iter_mut().for_each(|sum| *sum = _mm512_dpbf16_ps(*sum, by, by));
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn in_f32_of_avx2() {
        let by = _mm256_set1_ps(black_box(1.0));
        let mut sums = [_mm256_setzero_ps(); UNDER_WAY];
        for _ in 0..ROUNDS {
            sums.iter_mut().for_each(|sum| *sum = _mm256_fmadd_ps(by, by, *sum));
        }
        black_box(sums);
    }
}
