"""Write app images anew so that they start the run image's launcher, by a plan that is reviewed and then applied."""
