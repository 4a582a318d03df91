# ariagent. "make demo" and "make test" are all a newcomer needs; "make help" lists the rest.

VENV   := .venv
PYTHON := $(VENV)/bin/python
STAMP  := $(VENV)/.installed
LAB    := $(PYTHON) -m lab

# Container images often set this. Without kept bytecode each program that a test starts compiles all of ariagent (a
# second), and each of pytest's workers all tests (ten seconds).
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all long coverage js sites deb deb-test rehearsals noise bench soak transfers chaos fuzz lint types lock newest lab-up lab-down lab-status docs site pictures recordings clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

setup: $(STAMP) ## create .venv and fetch what the lab needs (Asterisk, flite, sipp, a model) where the machine lacks it
	@$(LAB) setup

demo: $(STAMP) ## hold a conversation through a real Asterisk, offline, and print it; VERBOSE=1 for what was understood
	@$(LAB) demo $(if $(VERBOSE),--verbose)

test: setup ## run the short tests: units, and calls through a real Asterisk; one of each kind; CALM=1 on a busy machine
	@PYTHONPATH=. $(PYTHON) tests/sandbox/js/fetch.py || echo "so tests/sandbox/test_js_sdk.py is skipped"
	@$(LAB) test $(if $(CALM),--calm)

test-all: test long sites rehearsals noise transfers chaos ## run every test, a small soak and a small bench: an hour
	@$(LAB) soak 60
	@$(LAB) bench $(BENCH_IN_SMALL)

BENCH_IN_SMALL := opening interruption handoff

long: setup ## the permutations, examples and long waits of which make test has some; CALM=1 on a busy machine
	@$(PYTHON) -m pytest -q -n $(if $(CALM),2,3) --dist worksteal -m "(long or hypothesis) and not chaos"

JOINTS := call dialogue realtime pool control
# Two files of other packages' tests are the tests of realtime/probe.py and realtime/trial.py. Floods are left out: they
# are judged by the second, and while it is measured everything is slower.
COVERING := $(JOINTS:%=tests/%) tests/check/test_probe.py tests/service/test_trials.py \
	--ignore tests/call/test_hostile_model.py --ignore tests/realtime/test_hostile.py

coverage: $(STAMP) ## what tests of call, dialogue, realtime, pool, control have run of each, without Asterisk; 90 % or it fails
	@$(PYTHON) -m pytest -q -n 2 --cov --cov-report= -m "not asterisk and not long" $(COVERING); \
	    passed=$$?; $(PYTHON) .ci/coverage && exit $$passed

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
	@.lab/newest/bin/python -m lab test --only units -q

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

site: .site/stamp .site/mermaid/mermaid.min.js .site/pictures/made ## build the documentation as a website into .site/html, with its pictures; fails if a link leads nowhere
	@NO_MKDOCS_2_WARNING=1 .site/venv/bin/mkdocs build --strict --config-file .ci/site/mkdocs.yml
	@echo "open .site/html/index.html"

.site/stamp: .ci/site/requirements.txt .ci/venv
	@.ci/venv .site/venv
	@.site/venv/bin/python -m pip install -qq --disable-pip-version-check --requirement .ci/site/requirements.txt
	@touch $@

.site/mermaid/mermaid.min.js: .site/stamp .ci/site/mermaid
	@.ci/site/mermaid $(@D)
	@touch $@

pictures: .site/pictures/made ## make the pictures of the website from real calls: two minutes, and a browser for one of them

.site/pictures/made: $(STAMP) $(shell find ariagent lab -name '*.py' -o -name '*.yaml')
	@$(LAB) pictures .site/pictures
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
