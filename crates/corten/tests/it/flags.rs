//! Every flag of `run` has an effect.
