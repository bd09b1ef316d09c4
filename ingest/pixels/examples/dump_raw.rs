//! throwaway
use clinical::imaging::*;
use std::io::Write;
fn main() {
    let pool = match std::env::var("CHILD") {
        Ok(p) => pixels::DecodePool::new(pixels::PoolSettings {
            program: p.into(),
            arguments: vec![],
            children: 2,
            memory_bytes: 2 << 30,
            frame_timeout: std::time::Duration::from_secs(20),
            idle: std::time::Duration::from_secs(5),
        }),
        Err(_) => pixels::DecodePool::inline(),
    };
    let least = std::env::var("LEAST").ok().map(|v| v.parse::<u32>().unwrap());
    let out = std::env::var("OUT").unwrap();
    for (n, f) in std::env::args().skip(1).enumerate() {
        let t = std::time::Instant::now();
        let bytes = std::fs::read(&f).unwrap();
        let r = part10::Part10::read(bytes.into(), &part10::Limits::default())
            .map_err(|e| format!("part10: {e}"))
            .and_then(|o| {
                let mut rq = DecodeRequest::everything();
                rq.least_size = least.map(|l| (l, l));
                pixels::decode(&o, &rq, &pixels::PixelLimits::default(), &pool)
                    .map_err(|e| format!("{}: {e}", e.code()))
            });
        let ms = t.elapsed().as_millis();
        match r {
            Ok(frames) => {
                let mut o = std::io::BufWriter::new(std::fs::File::create(format!("{out}/{n}.raw")).unwrap());
                let mut kind = "";
                for fr in &frames {
                    let s = &fr.samples;
                    kind = match s {
                        Samples::U8(_) => "u1",
                        Samples::I8(_) => "i1",
                        Samples::U16(_) => "u2",
                        Samples::I16(_) => "i2",
                        Samples::U32(_) => "u4",
                        Samples::I32(_) => "i4",
                    };
                    match s {
                        Samples::U8(v) => o.write_all(v).unwrap(),
                        Samples::I8(v) => {
                            for x in v {
                                o.write_all(&x.to_le_bytes()).unwrap()
                            }
                        }
                        Samples::U16(v) => {
                            for x in v {
                                o.write_all(&x.to_le_bytes()).unwrap()
                            }
                        }
                        Samples::I16(v) => {
                            for x in v {
                                o.write_all(&x.to_le_bytes()).unwrap()
                            }
                        }
                        Samples::U32(v) => {
                            for x in v {
                                o.write_all(&x.to_le_bytes()).unwrap()
                            }
                        }
                        Samples::I32(v) => {
                            for x in v {
                                o.write_all(&x.to_le_bytes()).unwrap()
                            }
                        }
                    }
                    let png = pixels::render(
                        fr,
                        &pixels::RenderOptions {
                            window: None,
                            viewport: None,
                            format: pixels::RenderFormat::Png,
                        },
                    );
                    if let Err(e) = png {
                        println!("RENDER {f} {e}");
                    }
                }
                println!(
                    "{n}\t{f}\tok\t{kind}\t{}\t{}\t{}\t{}\t{ms}",
                    frames.len(),
                    frames.first().map_or(0, |f| f.rows),
                    frames.first().map_or(0, |f| f.columns),
                    frames.first().map_or(0, |f| f.samples_per_pixel)
                );
            }
            Err(e) => println!("{n}\t{f}\terr\t{e}\t{ms}"),
        }
    }
}
