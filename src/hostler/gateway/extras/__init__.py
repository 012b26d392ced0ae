"""What llama.cpp's server has besides the APIs: looked at by profile, and passed through for admins."""
