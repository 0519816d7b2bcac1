"""A study of an often quoted accuracy of 0.9272 on BUSI: small classifiers scored in three ways."""
