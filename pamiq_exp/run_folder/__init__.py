"""The files of a run: folder, manifest, lock, records, and the masking of secrets."""

from pamiq_exp.run_folder.folder import RunFolder, read_manifest, user_path
from pamiq_exp.run_folder.folder_lock import Owner, RunFolderError, owner_of
from pamiq_exp.run_folder.manifest import list_checkpoints, machine, package_versions, source_hash
from pamiq_exp.run_folder.secrets import mask_secrets, mask_text, mask_yaml, note_secrets

__all__ = [
    "Owner",
    "RunFolder",
    "RunFolderError",
    "list_checkpoints",
    "machine",
    "mask_secrets",
    "mask_text",
    "mask_yaml",
    "note_secrets",
    "owner_of",
    "package_versions",
    "read_manifest",
    "source_hash",
    "user_path",
]
