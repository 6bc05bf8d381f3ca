"""Run by the trackers' environment: python read_back.py RUN TRACKER. Prints what the tracker kept, as JSON.

{"runs": names, "rows": {curve: [[step, {name: value}]]}, "tables": {name: {step: [cells]}}, "pictures": [[w, h]]}
"""

from __future__ import annotations

import io
import json
import struct
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

Found = dict[str, Any]


def found() -> Found:
    """Nothing yet."""
    return {"runs": [], "rows": defaultdict(dict), "tables": defaultdict(dict), "pictures": []}


def tensorboard(run: Path) -> Found:
    """By TensorBoard's own reader, every folder as one of its runs."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    answer = found()
    home = run / "tracking" / "tensorboard"
    for folder in sorted({file.parent for file in home.rglob("events.*")}):
        name = str(folder.relative_to(home))
        answer["runs"].append(name)
        events = EventAccumulator(str(folder), size_guidance={"images": 0, "tensors": 0, "scalars": 0}).Reload()
        for tag in events.Tags()["scalars"]:
            assert tag.startswith(f"{name}/")
            for event in events.Scalars(tag):
                values = answer["rows"][name].setdefault(event.step, {})
                assert tag not in values, "a step was written twice"
                values[tag] = event.value
        for tag in events.Tags()["images"]:
            for event in events.Images(tag):
                answer["pictures"].append(Image.open(io.BytesIO(event.encoded_image_string)).size)
        for tag in events.Tags()["tensors"]:
            for event in events.Tensors(tag):
                (text,) = make_ndarray(event.tensor_proto).tolist()
                answer["tables"][tag][event.step] = text.decode()
    return answer


def trackio(run: Path) -> Found:
    """By trackio's own storage."""
    from trackio.sqlite_storage import SQLiteStorage
    from trackio.utils import MEDIA_DIR

    answer = found()
    answer["runs"] = [name for name in SQLiteStorage.get_runs("metis-rise") if name.startswith(f"{run.name}-")]
    for name in answer["runs"]:
        for log in SQLiteStorage.get_logs("metis-rise", name):
            for key, value in log.items():
                if isinstance(value, dict):
                    rows = value["_value"]
                    answer["tables"][key][log["step"]] = [list(row.values()) for row in rows]
                    pictures = [row["picture"] for row in rows if row["picture"]]
                    answer["pictures"] += [Image.open(MEDIA_DIR / each["file_path"]).size for each in pictures]
                elif key not in ("step", "timestamp"):
                    values = answer["rows"][key.partition("/")[0]].setdefault(log["step"], {})
                    assert key not in values, "a step was written twice"
                    values[key] = value
    return answer


def wandb(run: Path) -> Found:
    """The transaction logs that `wandb sync` uploads, one per attempt; there is no reader of them to import."""
    from wandb.proto.wandb_internal_pb2 import Record

    answer = found()
    numbers: list[int] = []
    # What waits to be uploaded: files of tables and pictures by the artifact's id and their path in it.
    staged: dict[str, Path] = {}
    for file in sorted((run / "tracking" / "wandb").glob("offline-run-*/*.wandb")):
        for data in _records(file.read_bytes()):
            record = Record.FromString(data)
            if record.HasField("run"):
                answer["runs"].append(record.run.run_id)
            if record.HasField("artifact"):
                contents = record.artifact.manifest.contents
                staged |= {f"{record.artifact.client_id}/{each.path}": Path(each.local_path) for each in contents}
            if not record.HasField("history"):
                continue
            items = _items(record.history)
            numbers.append(items.pop("_step"))
            (key,) = (key for key in items if key.endswith("/step"))
            step, curve = items.pop(key), key.rpartition("/")[0]
            if f"{curve}/table" in items:
                place = items[f"{curve}/table"]["artifact_path"].partition("://")[2]
                rows = json.loads(staged[place].read_text())["data"]
                answer["tables"][curve][step] = rows
                pictures = [staged[f"{place.partition('/')[0]}/{row[1]['path']}"] for row in rows if row[1]]
                answer["pictures"] += [Image.open(picture).size for picture in pictures]
            else:
                assert step not in answer["rows"][curve], "a step was written twice"
                answer["rows"][curve][step] = {name: value for name, value in items.items() if name[0] != "_"}
    assert numbers == list(range(len(numbers))), "numbers do not go on over attempts"
    answer["runs"] = sorted(set(answer["runs"]))
    return answer


def _items(history: Any) -> dict[str, Any]:
    """The values by their names; those of a table are a record each."""
    items: dict[str, Any] = {}
    for item in history.item:
        name, *parts = item.nested_key or [item.key]
        place = items
        for part in parts:
            place, name = place.setdefault(name, {}), part
        place[name] = json.loads(item.value_json)
    return items


def _records(data: bytes, block: int = 1 << 15) -> Iterator[bytes]:
    """LevelDB's log format, behind a header of seven bytes."""
    place, whole = 7, b""
    while place < len(data):
        left = block - place % block
        if left < 7:
            place += left
            continue
        size, kind = struct.unpack_from("<HB", data, place + 4)
        whole += data[place + 7 : place + 7 + size]
        place += 7 + size
        # 1: all of a record, 4: its last part.
        if kind in (1, 4):
            yield whole
            whole = b""


def main() -> None:
    """Reads one tracker's run."""
    answer = {"tensorboard": tensorboard, "trackio": trackio, "wandb": wandb}[sys.argv[2]](Path(sys.argv[1]))
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
