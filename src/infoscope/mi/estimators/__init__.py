"""One estimator of mutual information a file."""
