"""The doctor: facts about a deployment, and checks over them, each with a way out."""
