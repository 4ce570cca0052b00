"""What a network knows, in bits: the questions that stand on the prequential codelength."""
