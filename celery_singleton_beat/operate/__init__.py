"""For people: commands, checks, figures and pages that look at a deployment and change it."""
