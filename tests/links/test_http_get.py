import pytest

from bambu_connector.links.http_get import name_of


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://files.example.org/a/b.3mf?key=secret#x", "b.3mf from files.example.org"),
        ("https://user:secret@files.example.org/b.3mf", "b.3mf from files.example.org"),
        ("https://files.example.org", "/ from files.example.org"),
        ("https://files.example.org/my%20file.3mf", "my file.3mf from files.example.org"),
        ("http://[secret", "the URL"),
        ("secret", "the URL"),
    ],
)
def test_a_url_is_named_without_its_secrets(url: str, name: str) -> None:
    assert name_of(url) == name
