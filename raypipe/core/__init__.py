"""What every stage shares and none of them owns: errors, ids, time, files, the home folder."""
