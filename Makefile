# ariagent. "make demo" and "make test" are all a newcomer needs; "make help" lists the rest.

VENV   := .venv
PYTHON := $(VENV)/bin/python
STAMP  := $(VENV)/.installed
LAB    := $(PYTHON) -m lab

.DEFAULT_GOAL := help
.PHONY: help setup demo test js sites deb deb-test rehearsals noise bench soak transfers chaos fuzz lint types lock newest lab-up lab-down lab-status docs site recordings clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

setup: $(STAMP) ## create .venv and fetch what the lab needs (Asterisk, flite, sipp) where the machine lacks it
	@$(LAB) setup

demo: $(STAMP) ## hold a conversation through a real Asterisk, offline, and print it; VERBOSE=1 for what was understood
	@$(LAB) demo $(if $(VERBOSE),--verbose)

SHORT := not long and not rehearsal and not chaos and not noise and not sites and not deb

test: setup ## run every test but those marked long and the longer ones of make sites, make rehearsals, make noise and make chaos
	@PYTHONPATH=. $(PYTHON) tests/sandbox/js/fetch.py || echo "so tests/sandbox/test_js_sdk.py is skipped"
	@echo "running the tests: units, then calls through a real Asterisk"
	@$(PYTHON) -m pytest -n 4 --dist worksteal -m "$(SHORT)" || { \
	    test $$? -eq 1 || exit 1; \
	    echo "what failed beside three others is run again by itself: a busy machine is late, a fault stays"; \
	    $(PYTHON) -m pytest --last-failed --last-failed-no-failures none --maxfail 5 -m "$(SHORT)"; }

js: $(STAMP) ## fetch Node and the official JavaScript SDK, which judges the sandbox in tests, into .lab/js
	@PYTHONPATH=. $(PYTHON) tests/sandbox/js/fetch.py

rehearsals: setup ## the templates' rehearsals through a real Asterisk: 23 callers, two minutes
	@$(PYTHON) -m pytest -m rehearsal tests/integration/test_rehearse.py

sites: setup ## install beside four kinds of Asterisk installations, call, break, uninstall: two minutes
	@$(PYTHON) -m pytest -q -m "sites or asterisk" tests/sites

deb: $(STAMP) ## build the Debian package, for the release that this machine has: dist/ariagent_VERSION_ARCHITECTURE.deb
	@PIP=$(VENV)/bin/pip packaging/deb/build dist

deb-test: setup ## install the Debian package on a clean machine (a chroot, so as root), call through it, remove it
	@$(PYTHON) -m pytest -q -m deb tests/sites

noise: setup ## whether noise cuts the agent off, and words do: three minutes of it
	@$(PYTHON) -m pytest -m noise tests/integration/test_interruptions.py

bench: $(STAMP) ## measure every budget and print it beside what it may be; PARTS="answers takeover" for some
	@$(LAB) bench $(PARTS)

soak: $(STAMP) ## 200 calls hung up at random moments: nothing may be left; MINUTES=30 for 20 callers who stay and talk
	@$(LAB) soak $(if $(MINUTES),--minutes '$(MINUTES)')

transfers: setup ## 100 hand-offs cut at random moments: nothing may be left of them
	@TRANSFERS=100 $(PYTHON) -m pytest -q -s tests/integration/test_cut_transfers.py

chaos: setup ## break what can break under ten calls, and measure what their callers hear
	@$(PYTHON) -m pytest -q -s tests/chaos

fuzz: $(STAMP) ## feed the decoders what atheris thinks up; SECONDS=60 for each of them
	@$(PYTHON) -c 'import atheris' 2>/dev/null || $(PYTHON) -m pip install -qq --disable-pip-version-check --editable '.[fuzz]' \
		|| echo "fuzz: atheris cannot be installed here"
	@$(PYTHON) tests/fuzz/fuzz.py $(or $(SECONDS),60)

lint: $(STAMP) ## ruff: rules and formatting; in the dialplans no text of a caller where Asterisk would obey it
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m lab.dialplanlint

types: $(STAMP) ## mypy --strict
	@$(PYTHON) -m mypy

lock: $(STAMP) ## make .ci/lock.txt anew: the newest releases of all that development needs, with their hashes
	@.ci/lock

newest: $(STAMP) ## test with the newest releases that pyproject.toml allows, not the locked ones; without Asterisk
	@.ci/venv .lab/newest
	@.lab/newest/bin/python -m pip install -qq --disable-pip-version-check --upgrade --upgrade-strategy eager --editable '.[dev]'
	@.lab/newest/bin/python -m pip freeze --exclude-editable >.lab/newest.txt
	@.lab/newest/bin/python -m pytest -q -n 2 -m "not asterisk and $(SHORT)" --ignore tests/integration --ignore tests/lab

lab-up: $(STAMP) ## start Asterisk, the sandbox and the service; SETTINGS=my.yaml SCENARIO=mine.yaml for your own
	@$(LAB) up $(if $(SETTINGS),--settings '$(SETTINGS)') $(if $(SCENARIO),--scenario '$(SCENARIO)')

lab-down: $(STAMP) ## stop them
	@$(LAB) down

lab-status: $(STAMP) ## say what runs; fails unless all of it does
	@$(LAB) status

docs: $(STAMP) ## make the pages of docs/ that are made from the code
	@$(PYTHON) -m ariagent.configfile.reference > docs/configuration.md
	@$(PYTHON) -m ariagent.configfile.reference agents > docs/configuration-agents.md
	@$(PYTHON) -m ariagent.configfile.reference tools > docs/configuration-tools.md
	@$(PYTHON) -m ariagent.configfile.reference schema > docs/ariagent.schema.json
	@$(PYTHON) -m ariagent.call.machine > docs/call-states.md
	@$(PYTHON) -m ariagent.check.versionspage > docs/asterisk-versions.md

site: .site/stamp ## build the documentation as a website into .site/html; fails if a link leads nowhere
	@NO_MKDOCS_2_WARNING=1 .site/venv/bin/mkdocs build --strict --config-file .ci/site/mkdocs.yml
	@echo "open .site/html/index.html"

.site/stamp: .ci/site/requirements.txt .ci/venv
	@.ci/venv .site/venv
	@.site/venv/bin/python -m pip install -qq --disable-pip-version-check --requirement .ci/site/requirements.txt
	@touch $@

recordings: $(STAMP) ## make the recorded sentences of `ariagent call` anew, after a change of its script
	@$(LAB) recordings

clean: ## stop the lab and delete everything that was made here, .venv and .lab included
	@if [ -x $(PYTHON) ] && [ -e .lab/lab.json ]; then $(LAB) down; fi
	@rm -rf $(VENV) .lab .site build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Made again only when what it was made from changes. A cut-off run leaves no stamp and is repaired by the next.
$(STAMP): pyproject.toml setup.cfg .ci/venv .ci/lock.txt
	@.ci/venv $(VENV)
	@echo "installing ariagent and its tools into $(VENV) (a minute or two the first time)"
	@$(PYTHON) -m pip install -qq --disable-pip-version-check --require-hashes --requirement .ci/lock.txt
	@$(PYTHON) -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
