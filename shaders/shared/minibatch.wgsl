// Which sample of a rollout of T slots and B environments stands where in a minibatch of M samples. Twin: `Samples` of
// src/num/shuffle.rs.
#import shuffle

// Row (t*R + r)*B + b of sample `m` of minibatch `mb` of replica r: number mb*M + m of the shuffled T*B samples, or
// (WHOLE = 1) slot by slot of M/T shuffled environments.
fn minibatch_row(r: u32, m: u32, mb: u32, keys: ShuffleKeys) -> u32 {
    if (WHOLE == 1u) {
        // At least 1, because a compiler divides by it even where WHOLE is 0 and M < T.
        let envs = max(M / T, 1u);
        let b = shuffle_index(mb * envs + m % envs, B, keys);
        return (m / envs * R + r) * B + b;
    }
    let s = shuffle_index(mb * M + m, T * B, keys);
    return (s / B * R + r) * B + s % B;
}
