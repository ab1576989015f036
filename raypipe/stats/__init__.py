"""Mathematics without a domain: exact sums, histograms, metrics, intervals."""
