"""What a trial's training leaves on disk to go on from: its state, its checkpoints, and branches off them."""
