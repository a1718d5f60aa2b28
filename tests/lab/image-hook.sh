#!/bin/sh
# Runs at the end of an image's build with the new root as $1: no service starts by itself, one account for Ansible.
set -eu
root=$1
for unit in postfix dovecot opendkim rspamd redis-server rsyslog named knot rbldnsd rbldnsd.socket unbound unbound-resolvconf \
    nsd pdns policyd-rate-limit postgresql mariadb slapd saslauthd \
    apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap man-db.timer fstrim.timer systemd-timesyncd; do
    chroot "$root" systemctl disable "$unit" >/dev/null 2>&1 || true
done
chroot "$root" systemctl mask getty.target console-getty.service systemd-logind.service systemd-networkd-wait-online.service \
    systemd-udevd.service >/dev/null 2>&1
chroot "$root" useradd --create-home --shell /bin/bash deploy
chroot "$root" useradd --system --uid 5000 --home-dir /var/vmail --create-home --shell /usr/sbin/nologin vmail
echo 'deploy ALL=(ALL) NOPASSWD: ALL' > "$root/etc/sudoers.d/deploy"
chmod 0440 "$root/etc/sudoers.d/deploy"
mkdir -p "$root/var/log/journal" "$root/var/lib/lab"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
