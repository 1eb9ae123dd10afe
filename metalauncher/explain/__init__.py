"""What is said of a dispatch: reasons, refusals, predictions. Loaded only when something is said or asked."""
