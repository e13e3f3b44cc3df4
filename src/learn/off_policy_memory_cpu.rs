//! What the off-policy agents of the CPU share with the learner that feeds them: the weights and the minibatch of one
//! replica.

/// Transitions whose activations are held at once.
pub(super) const BLOCK: usize = 128;

/// Weights, targets and moments of one replica, `[P]` each.
pub(super) struct Weights {
    pub params: Vec<f32>,
    pub target: Vec<f32>,
    pub m: Vec<f32>,
    pub v: Vec<f32>,
    pub grads: Vec<f32>,
}

/// A minibatch of one replica.
pub(super) struct Batch {
    /// `[M, leading(O)]`, zero beyond O.
    pub obs: Vec<f32>,
    pub next: Vec<f32>,
    /// `[M, D]`
    pub action: Vec<f32>,
    /// Reward and 1 − terminated.
    pub scalars: Vec<[f32; 2]>,
}
