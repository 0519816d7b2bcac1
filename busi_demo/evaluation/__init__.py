"""How good an approach is: metrics and calibration as pure functions, then the report that shows them."""
