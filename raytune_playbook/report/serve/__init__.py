"""The rounds of a storage, served to a browser: a list of them, and the page of each, made fresh from its records.

`listing` and `pages` read the records, again only where they changed; `files` hands out what pages link to; `access`
lets nobody in without the token; `application` puts them together and `server` runs them.
"""
