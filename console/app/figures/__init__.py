"""What the screens show, computed without textual: numbers, badges, bars, tables and lines of toned text."""
