"""What is uploaded to the Hugging Face Hub."""
