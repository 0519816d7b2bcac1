"""Why an often quoted accuracy of 0.9272 was not one: small classifiers scored three ways."""
