use clinical::imaging::*;
use inference::*;
use models::Registry;
use std::time::Instant;
fn frame(side: u32, px: Vec<u8>) -> Frame {
    Frame {
        index: 0,
        rows: side,
        columns: side,
        samples_per_pixel: 1,
        bits_stored: 8,
        samples: Samples::U8(px),
        photometric: Photometric::Monochrome2,
        modality_lut: None,
        voi_lut: None,
        padding: None,
    }
}
fn auc(y: &[bool], p: &[f32]) -> f64 {
    let mut c = 0.0;
    let (mut a, mut b) = (0, 0);
    for i in 0..y.len() {
        if y[i] { a += 1 } else { b += 1 }
    }
    for i in 0..y.len() {
        if y[i] {
            for j in 0..y.len() {
                if !y[j] {
                    if p[i] > p[j] {
                        c += 1.0
                    } else if p[i] == p[j] {
                        c += 0.5
                    }
                }
            }
        }
    }
    c / (a as f64 * b as f64)
}
fn main() {
    let r = Registry::built_in();
    for (n, side, img, pf, lf, k) in [
        ("pneumonia224", 224u32, "/tmp/i224.bin", "/tmp/p224.f32", "/tmp/l224.bin", 3usize),
        ("pneumonia28", 28, "/tmp/i_pneumonia28.bin", "/tmp/p_pneumonia28.f32", "/tmp/l_pneumonia28.bin", 2),
        ("breast28", 28, "/tmp/i_breast28.bin", "/tmp/p_breast28.f32", "/tmp/l_breast28.bin", 2),
    ] {
        let card = r.get(n).unwrap();
        let t = Instant::now();
        let w = r.weights(card).unwrap();
        let t1 = t.elapsed();
        let net = Network::load(&TractBackend, card, &w).unwrap();
        println!("{n} sha {:?} load {:?}", t1, t.elapsed() - t1);
        let images = std::fs::read(img).unwrap();
        let p: Vec<f32> =
            std::fs::read(pf).unwrap().chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        let l = std::fs::read(lf).unwrap();
        let ctx = if n == "breast28" {
            ImageContext {
                modality: Some("US".into()),
                body_part: Some("BREAST".into()),
                age_years: Some(40.),
                sex: Some(PatientSex::Female),
                photometric_interpretation: Some("MONOCHROME2".into()),
                ..Default::default()
            }
        } else {
            ImageContext {
                modality: Some("CR".into()),
                body_part: Some("CHEST".into()),
                view_position: Some("AP".into()),
                age_years: Some(3.),
                photometric_interpretation: Some("MONOCHROME2".into()),
                ..Default::default()
            }
        };
        let s = (side * side) as usize;
        let mut md = 0f32;
        let mut ps = vec![];
        let mut ys = vec![];
        let t = Instant::now();
        for (i, im) in images.chunks(s).enumerate() {
            let Outcome::Scored(v) = analyze(&net, &[frame(side, im.to_vec())], &ctx).unwrap() else {
                panic!("abstained {i}")
            };
            let e = if n == "breast28" { p[i * k] } else { 1.0 - p[i * k] };
            md = md.max((v[0].probability - e).abs());
            if k == 3 {
                md = md
                    .max((v[1].probability - p[i * k + 1]).abs())
                    .max((v[2].probability - p[i * k + 2]).abs())
            }
            ps.push(v[0].probability);
            ys.push(if n == "breast28" { l[i] == 0 } else { l[i] > 0 });
        }
        let el = t.elapsed();
        let acc = ps.iter().zip(&ys).filter(|(p, y)| (**p >= 0.5) == **y).count() as f64 / ys.len() as f64;
        println!(
            "{n}: {} images, max diff {md:e}, auc {:.4}, acc {:.4}, {:.3} ms/image",
            ys.len(),
            auc(&ys, &ps),
            acc,
            el.as_secs_f64() * 1e3 / ys.len() as f64
        );
        if n == "pneumonia224" {
            let fs: Vec<Frame> = images.chunks(s).map(|im| frame(side, im.to_vec())).collect();
            let t = Instant::now();
            analyze(&net, &fs, &ctx).unwrap();
            println!("parallel: {:.3} ms/image", t.elapsed().as_secs_f64() * 1e3 / fs.len() as f64);
            let i = &card.input;
            for (name, bits, voi) in [
                ("u16 minmax", 12u8, None),
                (
                    "u16 window",
                    12,
                    Some(VoiLut::Window(Window {
                        center: 2000.,
                        width: 3000.,
                        function: VoiFunction::Linear,
                    })),
                ),
                (
                    "u16 sigmoid 16 bit",
                    16,
                    Some(VoiLut::Window(Window {
                        center: 2000.,
                        width: 3000.,
                        function: VoiFunction::Sigmoid,
                    })),
                ),
            ] {
                let (rows, cols) = (2500u32, 2048u32);
                let px: Vec<u16> = (0..rows * cols)
                    .map(|a| ((a.wrapping_mul(2654435761) >> 18) % (1 << bits.min(14))) as u16)
                    .collect();
                let mut f = frame(1, vec![]);
                f.rows = rows;
                f.columns = cols;
                f.bits_stored = bits;
                f.samples = Samples::U16(px);
                f.voi_lut = voi;
                let mut best = f64::MAX;
                for _ in 0..10 {
                    let t = Instant::now();
                    std::hint::black_box(prepare(&f, i).unwrap());
                    best = best.min(t.elapsed().as_secs_f64() * 1e3);
                }
                println!("prepare {name} 2500x2048: {best:.2} ms");
            }
            let mut f = frame(2048, vec![7; 2048 * 2048]);
            f.rows = 2048;
            let mut best = f64::MAX;
            for _ in 0..10 {
                let t = Instant::now();
                std::hint::black_box(prepare(&f, i).unwrap());
                best = best.min(t.elapsed().as_secs_f64() * 1e3);
            }
            println!("prepare u8 2048^2: {best:.2} ms");
        }
    }
}
