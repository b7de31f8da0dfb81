"""Trace, plan, doctor, cleanup: these read every stage and make none."""
