"""Early stopping of trainings: the rule (MO-ASHA), its rungs and the extrapolation of learning curves."""
