# images/closure.sh, sourced: which files a program loads, whose they are, and under which licence they may be passed on.

# The libraries that PROGRAM... load at their start, the loader too, as the loader finds them: links are not followed.
loaded() {
  local program
  for program in "$@"; do
    ldd "$program" 2>/dev/null || true  # muster-init is static
  done | sed -nE 's/^\s*(.* => )?(\/\S+) \(0x[0-9a-f]+\)$/\2/p' |
    while IFS= read -r file; do printf '%s/%s\n' "$(realpath "${file%/*}")" "${file##*/}"; done | sort -u
}

# The Debian packages that FILE... belong to. Packages name some files by their place before /usr was merged.
owners() {
  local real
  mapfile -t real < <(realpath "$@")
  { dpkg-query -S "${real[@]}" "${real[@]#/usr}" 2>/dev/null || true; } | sed -E 's/(:[a-z0-9]+)?: .*//' | sort -u
}

# copy_licences FOLDER PACKAGE...: FOLDER/PACKAGE/copyright of each, as Debian's packages have it.
copy_licences() {
  local folder=$1 package; shift
  for package in "$@"; do
    mkdir -p "$folder/$package"
    cp -L "/usr/share/doc/$package/copyright" "$folder/$package/copyright"
  done
}
