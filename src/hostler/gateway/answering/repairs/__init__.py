"""What llama.cpp answers otherwise than its API says, put right: one module for each defect."""
