"""Public clients of 123pan's Open platform against a cloud, with only their host changed: python open_clients.py BASE

BASE is the cloud's base URL. Each client makes a folder, uploads, lists, downloads, renames, moves and trashes; what it
shows is compared with what was sent. Prints "NAME: fine" for each.
"""

import asyncio
import hashlib
import os
import random
import sys
import tempfile

CLOUD = sys.argv[1]
OPEN = CLOUD + "/open"
HOST = "https://open-api.123pan.com"
ID, SECRET = "demo-client-id", "demo-client-secret"
HERE = tempfile.mkdtemp()
# Nothing of the machine's settings, and no token of a run before.
os.chdir(HERE)
os.environ["HOME"] = HERE


def file(size, seed):
    path = os.path.join(HERE, f"{seed}.bin")
    content = random.Random(seed).randbytes(size)
    with open(path, "wb") as out:
        out.write(content)
    return path, content


def same(got, wanted, what):
    if got != wanted:
        raise SystemExit(f"{what}: {str(got)[:200]} instead of {str(wanted)[:200]}")


def py_123pan_client():
    import httpx
    from py_123pan_client import client

    pan = client.PanClient(ID, SECRET, base_url=OPEN)
    same(pan.get_user_info().uid, 1812000499, "account")
    folder = pan.mkdir("py-123pan-client")
    small, small_bytes = file(3000, 1)
    large, large_bytes = file(5_000_000, 2)
    # In one request; then kept beside the first, then in its place.
    first = pan.upload_file(small, "small.bin", folder)
    pan.upload_file(small, "small.bin", folder)
    over = pan.upload_file(small, "small.bin", folder, conflict_strategy=2)
    md5 = hashlib.md5(large_bytes).hexdigest()
    client.time.sleep = lambda _: None
    sliced = pan._upload_chunked(large, "large.bin", md5, len(large_bytes), folder, 1)
    pan.upload_file(small, "x/y/z.bin", folder)
    names = sorted(row.filename for row in pan.iter_files(folder) if not row.trashed)
    same(names, ["large.bin", "small(1).bin", "small.bin", "x"], "names")
    for number, content in [(over, small_bytes), (sliced, large_bytes)]:
        got = httpx.get(pan.get_download_url(number), follow_redirects=True).content
        same(got, content, "bytes")
    same(first == over, False, "an overwritten file has another id")
    same(pan.get_files_info([sliced])[0].etag, md5, "etag")
    pan.rename_file(sliced, "renamed.bin")
    pan.rename_files({sliced: "renamed again.bin"})
    inner = pan.mkdir("a/b", folder)
    pan.move_files([sliced], inner)
    same([row.filename for row in pan.iter_files(inner)], ["renamed again.bin"], "moved")
    pan.trash_files([sliced])
    pan.recover_files([sliced])
    same(pan.get_file_detail(sliced).trashed, 0, "recovered")
    pan.enable_direct_link_space(folder)
    got = httpx.get(pan.get_direct_link_url(over)).content
    same(got, small_bytes, "bytes by direct link")
    pan.trash_files([sliced])
    pan.delete_files([sliced])


def x123pan():
    from x123pan.src import const

    for name, call in vars(const.ConstAPI).items():
        if isinstance(call, const.API_INFO):
            url = call.url.replace(const.ConstAPI.BASE_URL, OPEN).replace(const.ConstAPI.UPLOAD_URL, CLOUD)
            call.url = url
    from x123pan.src.api import Access

    pan = Access(ID, SECRET)
    folder = pan.file.mkdir(0, "x123pan")
    small, small_bytes = file(3000, 3)
    large, large_bytes = file(5_000_000, 4)
    pan.uploadV2.putSignal(small, "small.bin", folder)
    sliced = pan.uploadV2.put(large, "large.bin", folder)
    url = pan.file.download_info(sliced, direct=False)
    same(pan.session.get(url).content, large_bytes, "bytes")
    same(pan.file.sha1_reuse(folder, "n", hashlib.sha1(small_bytes).hexdigest(), 3000)["reuse"], False, "SHA-1")
    pan.file.name(sliced, "renamed.bin")
    inner = pan.file.mkdir(folder, "inner")
    pan.file.copy(sliced, inner)
    pan.file.trash([sliced])
    pan.file.delete([sliced])


def cpan123():
    import cpan123.utils.Constants as constants

    def turn(table):
        for name, value in list(vars(table).items()):
            if isinstance(value, str) and value.startswith(HOST):
                setattr(table, name, value.replace(HOST, OPEN))
            elif isinstance(value, type):
                turn(value)

    turn(constants.API)
    with open(".env", "w") as out:
        out.write(f"CLIENT_ID={ID}\nCLIENT_SECRET={SECRET}\nTRUST_ENV=false\n")
    from cpan123.Auth import Auth
    from cpan123.File import File
    from cpan123.Uploader import Uploader

    auth = Auth(envpath=".env")
    files, uploader = File(auth), Uploader(auth)
    folder = files.mkdir("cpan123", 0)["data"]["dirID"]
    small, _ = file(3000, 5)
    large, _ = file(5_000_000, 6)
    uploader.upload_file_single(small, folder)
    sliced = uploader.upload_file_chunked(large, folder, show_progress=False)["fileID"]
    for rows in [files.list_v2(folder), files.list_v1(folder)]:
        names = [row["filename"] for row in rows["data"]["fileList"]]
        same(sorted(names), ["5.bin", "6.bin"], "names")
    same(files.rename([f"{sliced}|renamed.bin"])["data"]["failList"], [], "renamed")
    same(files.move([sliced], 0)["code"], 0, "moved")
    same(files.trash([sliced])["code"], 0, "trashed")
    same(files.delete([sliced])["code"], 0, "deleted")


def aio123pan():
    import aio123pan

    async def run():
        async with aio123pan.Pan123Client(ID, SECRET, base_url=OPEN, enable_token_storage=False) as pan:
            folder = await pan.folder.create_folder(0, "aio123pan")
            large, large_bytes = file(5_000_000, 7)
            sliced = await pan.upload.upload_file(large, folder, "large.bin")
            same(await pan.file.download_file(sliced), large_bytes, "bytes")
            await pan.file.rename_file(sliced, "renamed.bin")
            await pan.file.move_file(sliced, 0)
            same([row.filename async for row in pan.file.list_all_files(folder)], [], "left behind")
            await pan.file.delete_file(sliced)
            trashed = [row.filename async for row in pan.trash.list_all_trash()]
            same("renamed.bin" in trashed, True, "in the bin")

    asyncio.run(run())


for use in [py_123pan_client, x123pan, cpan123, aio123pan]:
    use()
    print(f"{use.__name__}: fine", flush=True)
