"""Three examples of every command, and of the whole, as its help and the documentation show them.

Invariant: every line is one that the program accepts as it stands; a test parses them all, and runs those that are
quick.
"""

from __future__ import annotations

from typing import NamedTuple


class Example(NamedTuple):
    """A line to type, and what it is good for."""

    purpose: str
    line: str


# By the command as it is typed after `rsuq`; no longer than a screen of 80 columns is wide.
EXAMPLES: dict[str, tuple[Example, ...]] = {
    "": (
        Example("everything at once, on the embedded digits", "rsuq quickstart"),
        Example("your own: train, certify, compare", "rsuq train --sigma 0.5 && rsuq certify --sigma 0.5"),
        Example("what is there", "rsuq report"),
    ),
    "quickstart": (
        Example("all of it", "rsuq quickstart"),
        Example("a first look, in a quarter of the time", "rsuq quickstart --n 500 --limit 90"),
        Example("beside your own results, not among them", "rsuq quickstart --db quickstart.db"),
    ),
    "train": (
        Example("the embedded digits, in half a minute", "rsuq train --model cnn --sigma 0.25"),
        Example("your own images and network", "rsuq train --model net.py:make --dataset folder:photos --sigma 0.5"),
        Example("two digits left out, to come back as out-of-distribution", "rsuq train --hold-out-classes 8,9"),
    ),
    "fit-rejecter": (
        Example("for the newest network of the digits", "rsuq fit-rejecter"),
        Example("one that costs at most 5 % of the CC radius", "rsuq fit-rejecter --max-cc-cost 0.05"),
        Example("one that sees the mirror image, too",
                "rsuq fit-rejecter --model resnet20 --dataset cifar10 --views 2"),
    ),
    "certify": (
        Example("as the literature does: every 20th input, 100,000 samples",
                "rsuq certify --model resnet20 --dataset cifar10 --preset paper"),
        Example("two reasons to abstain, from one sampling",
                "rsuq certify --uncertainty entropy --uncertainty gen --coverage 0.8"),
        Example("only whether NCL reaches 0.25: most inputs stop early",
                "rsuq certify --at-radius 0.25 --guarantee ncl --n 100000"),
    ),
    "ood": (
        Example("sets that need no file, far from the digits", "rsuq ood --ood noise:smooth --ood photo-patches"),
        Example("digits that training never saw", "rsuq ood --dataset digits-without-8,9 --ood held-out"),
        Example("your own images, beside the evidence of run 1", "rsuq ood --run 1 --ood folder:elsewhere"),
    ),
    "rescore": (
        Example("another measure, coverage and rule",
                "rsuq rescore 1 --uncertainty margin --coverage 0.8 --rule plurality"),
        Example("every threshold, for a plot of your own", "rsuq rescore 1 --sweep --format csv"),
        Example("the threshold that gains most while it answers 90 %",
                "rsuq rescore 1 --best gain --at-coverage 0.9"),
    ),
    "study": (
        Example("a plan to begin with: the digits, in three minutes", "rsuq study --init plan.toml"),
        Example("what it would do and cost, and what is finished", "rsuq study plan.toml --dry-run"),
        Example("run it, or go on with it", "rsuq study plan.toml --workers 2"),
    ),
    "report": (
        Example("the largest NCL radius first", "rsuq report --sort -acr_ncl"),
        Example("one figure over two settings", "rsuq report --by model --by uncertainty --figure gain"),
        Example("one page to keep or to send", "rsuq report --latest --html report.html"),
    ),
    "audit": (
        Example("ten balls of run 1", "rsuq audit 1"),
        Example("many balls, a longer search", "rsuq audit 1 --inputs 100 --steps 100 --attack pgd"),
        Example("would a break be found? Balls half as large again", "rsuq audit 1 --radius-scale 1.5"),
    ),
    "predict": (
        Example("the classifier that run 1 certified", "rsuq predict digit.png --run 1"),
        Example("settings of your own, for a script", "rsuq predict a.png b.png --sigma 0.5 --format jsonl"),
        Example("photos of another size", "rsuq predict photo.jpg --run 1 --resize"),
    ),
    "radius": (
        Example("counts of your own",
                "rsuq radius --certain 0:9000,1:100 --uncertain 0:500,1:400 --alpha 0.001"),
        Example("what more noise would give for the same counts", "rsuq radius --sigma 1 --certain 0:9900,1:100"),
        Example("exact masses, as in a table of a paper", "rsuq radius --masses --certain 0:0.9,1:0.1"),
    ),
    "import": (
        Example("a log of Cohen et al. beside your own runs",
                "rsuq import cohen.tsv --model resnet110 --sigma 0.25 --dataset cifar10"),
        Example("where it is from, kept with the run",
                'rsuq import a.tsv --model r50 --sigma 1 --dataset mine --source theirs'),
        Example("a log of fewer samples", "rsuq import c.tsv --model cnn --sigma 1 --dataset mnist --n 10000"),
    ),
    "export": (
        Example("a log for the field's scripts", "rsuq export 1 --scoring 1 --output run1.tsv"),
        Example("the same of the NCL radius", "rsuq export 1 --scoring 1 --guarantee ncl --output ncl.tsv"),
        Example("every column of every input", "rsuq export 1 --format csv --output run1.csv"),
    ),
    "runs list": (
        Example("what there is", "rsuq runs list"),
        Example("what was left unfinished", "rsuq runs list --where \"status != 'complete'\""),
        Example("what belongs to a paper, for a script", "rsuq runs list --tag paper --format json"),
    ),
    "runs show": (
        Example("everything about run 1", "rsuq runs show 1"),
        Example("the run that is called baseline", "rsuq runs show baseline"),
        Example("its whole configuration, for a script", "rsuq runs show 1 --format json"),
    ),
    "runs delete": (
        Example("a run that is not needed; it says what goes, and asks", "rsuq runs delete 1"),
        Example("several, in a script", "rsuq runs delete 1 2 --yes"),
        Example("and give the space back", "rsuq runs delete 1 && rsuq db vacuum"),
    ),
    "runs name": (
        Example("a name to remember", "rsuq runs name 1 baseline"),
        Example("another one", 'rsuq runs name baseline "first baseline"'),
        Example("none", "rsuq runs name 1 --clear"),
    ),
    "runs note": (
        Example("what should not be forgotten", 'rsuq runs note 1 "before the new normalisation"'),
        Example("of the run that is called baseline", 'rsuq runs note baseline "see run 2"'),
        Example("take it away", "rsuq runs note 1 --clear"),
    ),
    "runs tag": (
        Example("two words to find it by", "rsuq runs tag 1 paper baseline"),
        Example("take one away", "rsuq runs tag 1 --remove baseline"),
        Example("and then", "rsuq runs tag 1 paper && rsuq report --tag paper"),
    ),
    "models list": (
        Example("what there is", "rsuq models list"),
        Example("those for one data set", "rsuq models list --where \"dataset = 'digits'\""),
        Example("what belongs to a paper, for a script", "rsuq models list --tag paper --format json"),
    ),
    "models show": (
        Example("everything about checkpoint 1", "rsuq models show 1"),
        Example("the one that is called final", "rsuq models show final"),
        Example("its training, for a plot of your own", "rsuq models show 1 --format json"),
    ),
    "models delete": (
        Example("one that is not needed; it says what goes, and asks", "rsuq models delete 1"),
        Example("in a script", "rsuq models delete 1 --yes"),
        Example("only out of the database", "rsuq models delete 1 --keep-file"),
    ),
    "models export": (
        Example("weights and a card, in a folder of their own", "rsuq models export 1"),
        Example("in a folder that you name", "rsuq models export 1 --output resnet20-for-pets"),
        Example("again, with what was certified since", "rsuq models export 1 --output mine --force"),
    ),
    "models import": (
        Example("what a colleague exported", "rsuq models import cnn-digits.safetensors"),
        Example("published weights",
                "rsuq models import a.pth --model resnet110 --sigma 0.5 --dataset cifar10"),
        Example("with a name to find it by", "rsuq models import a.safetensors --name theirs"),
    ),
    "models name": (
        Example("a name to remember", "rsuq models name 1 final"),
        Example("another one", 'rsuq models name final "almost final"'),
        Example("none", "rsuq models name 1 --clear"),
    ),
    "models note": (
        Example("what should not be forgotten", 'rsuq models note 1 "trained without flips"'),
        Example("of the one that is called final", 'rsuq models note final "as in the paper"'),
        Example("take it away", "rsuq models note 1 --clear"),
    ),
    "models tag": (
        Example("two words to find it by", "rsuq models tag 1 paper final"),
        Example("take one away", "rsuq models tag 1 --remove final"),
        Example("and then", "rsuq models tag 1 paper && rsuq models list --tag paper"),
    ),
    "db path": (
        Example("where the results are", "rsuq db path"),
        Example("a query of your own", 'sqlite3 "$(rsuq db path)" "SELECT id, model, status FROM run"'),
        Example("what a path stands for", "rsuq db path --db ~/results.db"),
    ),
    "db upgrade": (
        Example("after an update of rsuq", "rsuq db upgrade"),
        Example("a database of a colleague", "rsuq db upgrade --db theirs.db"),
        Example("an empty one to start with", "rsuq db upgrade --db new.db"),
    ),
    "db check": (
        Example("is it sound?", "rsuq db check"),
        Example("before relying on a copy", "rsuq db check --db backup.db"),
        Example("for a script: rows by table", "rsuq db check --format json"),
    ),
    "db runs": (
        Example("every run", "rsuq db runs"),
        Example("for a spreadsheet", "rsuq db runs --format csv"),
        Example("of another database", "rsuq db runs --db other.db"),
    ),
    "db merge": (
        Example("what a colleague has certified", "rsuq db merge theirs.db"),
        Example("the parts of a cluster into one", "rsuq db merge node2.db --db all.db"),
        Example("what was added, for a script", "rsuq db merge theirs.db --format json"),
    ),
    "db backup": (
        Example("beside the database, with the date", "rsuq db backup"),
        Example("where you like", "rsuq db backup copy.db"),
        Example("over the last one", "rsuq db backup copy.db --force"),
    ),
    "db vacuum": (
        Example("after runs were deleted", "rsuq db vacuum"),
        Example("of another database", "rsuq db vacuum --db other.db"),
        Example("with a copy first", "rsuq db backup && rsuq db vacuum"),
    ),
}  # fmt: skip


def examples_of(path: str) -> tuple[Example, ...]:
    """Returns the examples of a command by its whole path, whatever the program is called; none where it has none."""
    return EXAMPLES.get(path.partition(" ")[2], ())
