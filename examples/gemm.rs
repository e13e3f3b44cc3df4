use isacbench::policy::{dense::*, *};
use std::time::Instant;
fn main() {
    let layout = MlpLayout::new(&[12, 128, 128, 6], Activation::Tanh, 0);
    let mut net = Packed::new(&layout);
    net.pack(&vec![0.01; layout.end()]);
    let x = vec![0.1f32; 256 * 16];
    let mut acts = Activations::new(&layout, 256);
    let mut g = Gradient::new(&layout, 256);
    for _ in 0..3 {
        let t = Instant::now();
        for _ in 0..200 { forward(&net, 256, Strided { data: &x, row: 16, col: 1 }, &mut acts); }
        let f = t.elapsed().as_secs_f64() / 200.0;
        let t = Instant::now();
        for _ in 0..200 { backward(&net, 256, &x, &acts, &mut g); }
        let b = t.elapsed().as_secs_f64() / 200.0;
        println!("forward {:.1} us {:.1} GFLOP/s   backward {:.1} us {:.1} GFLOP/s", f * 1e6, 256.0 * 2.0 * 18688.0 / f / 1e9, b * 1e6, 256.0 * 2.0 * (2.0 * 18688.0 - 1536.0) / b / 1e9);
    }
}
