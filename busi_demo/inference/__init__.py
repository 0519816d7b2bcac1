"""From an image to a `Prediction`: the predictor, the kept forward pass, class activation maps, the consensus."""
