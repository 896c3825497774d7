"""Runs a step program and writes down what is said: record.py FILE PROGRAM [ARGUMENT ...]

Lines of loomlog begin with ">", those of the program with "<".
"""
import os
import subprocess
import sys
import threading

record = open(sys.argv[1], "a", buffering=1)
child = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def relay(source, target, mark):
    for line in source:
        record.write(mark + " " + line.decode())
        target.write(line)
        target.flush()
    target.close()


listener = threading.Thread(target=relay, args=(sys.stdin.buffer, child.stdin, ">"), daemon=True)
listener.start()
relay(child.stdout, sys.stdout.buffer, "<")
status = child.wait()
if status != 0:
    record.write("the program ended\n")
os._exit(0 if status == 0 else 9)
