"""Sound: reading files, features, augmentation."""
