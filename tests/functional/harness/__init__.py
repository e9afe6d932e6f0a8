"""What functional tests are made of; conftest.py hands it out as fixtures.

    wait.py      waiting for events, with one idea of what "too long" is
    ports.py     ports that nobody else gets while a test runs
    client.py    an HTTP/1.1 client that does what it is told, bytes included
    backend.py   servers to put behind the program, with answers scripted by the test
    config.py    from the few lines of a test to a whole configuration
    site.py      the running program
"""
