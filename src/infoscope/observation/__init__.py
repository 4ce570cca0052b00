"""What happens inside a network: layers, activations, Jacobians, noise."""
