"""What did this fine-tuning do, and did it learn anything?"""
