"""Pairs of gold and predicted answers, judged and compared with what they should be; one verdict, explained."""
