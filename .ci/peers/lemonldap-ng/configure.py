#!/usr/bin/env python3
"""Write LemonLDAP::NG's configuration: configure.py SCRATCH PORTAL_URL.

SCRATCH/sp-metadata/NAME.xml becomes the SAML service provider NAME. The toggles
of the environment are described in ../README.md."""
import glob
import json
import os
import sys

scratch, portal = sys.argv[1], sys.argv[2].rstrip("/")
host = portal.split("/")[2].split(":")[0]
env = os.environ.get


def read(*name):
    with open(os.path.join(scratch, *name), encoding="utf-8") as f:
        return f.read()


def sessions(folder):
    return {
        "Directory": f"{scratch}/{folder}",
        "LockDirectory": f"{scratch}/{folder}/lock",
        "generateModule": "Lemonldap::NG::Common::Apache::Session::Generate::SHA256",
    }


def rp(name):
    return {f"oidcRPMetaDataOptions{k}": v for k, v in name.items()}


conf = {
    "cfgNum": 1,
    "cfgVersion": "2.16.1",
    "cfgAuthor": "tests",
    "cfgDate": "1",
    "portal": portal + "/",
    # A host name, never an IP address: the session cookie carries it as Domain.
    "domain": host,
    "cookieName": "lemonldap",
    "securedCookie": 0,
    "key": "only-for-tests-key",
    "authentication": "Demo",
    "userDB": "Same",
    "passwordDB": "Demo",
    "registerDB": "Null",
    "globalStorage": "Apache::Session::File",
    "globalStorageOptions": sessions("sessions"),
    "persistentStorage": "Apache::Session::File",
    "persistentStorageOptions": sessions("psessions"),
    "locationRules": {host: {"default": "accept"}},
    "exportedHeaders": {},
    "exportedVars": {},
    "applicationList": {},
    "requireToken": 0,
    # ForceAuthn and prompt=login ask again whoever signed in more than so many
    # seconds ago. With 0, a slow machine would be asked for ever.
    "portalForceAuthnInterval": 1,
    "demoExportedVars": {"cn": "cn", "mail": "mail", "uid": "uid"},
    # Perl expressions: everybody is staff, dwho and rtyler administer.
    "groups": {"staff": "1", "aws-prod-admin": '$uid eq "dwho" or $uid eq "rtyler"'},
    # Second factors and logout know the person by this macro.
    "macros": {"_whatToTrace": "lc($_user)"},
    # SAML identity provider
    "issuerDBSAMLActivation": 1,
    "samlEntityID": "#PORTAL#/saml/metadata",
    "samlServicePrivateKeySig": read("keys", "saml.key"),
    "samlServicePublicKeySig": read("keys", "saml.crt"),
    "samlServiceSignatureMethod": "RSA_SHA256",
    "samlNameIDFormatMapEmail": "mail",
    "samlSPMetaDataXML": {},
    "samlSPMetaDataOptions": {},
    "samlSPMetaDataExportedAttributes": {},
    # OpenID provider
    "issuerDBOpenIDConnectActivation": 1,
    "oidcServiceMetaDataIssuer": portal,
    "oidcServicePrivateKeySig": read("keys", "oidc.key"),
    "oidcServicePublicKeySig": read("keys", "oidc.pub"),
    "oidcServiceKeyIdSig": "k1",
    "oidcServiceAllowAuthorizationCodeFlow": 1,
    "oidcRPMetaDataOptions": {"broker": rp({
        "ClientID": "broker",
        "ClientSecret": "only-for-tests-broker-secret-0123456789",
        "BypassConsent": 1,
        "RedirectUris": env("REDIRECT_URI", "http://localhost:18301/oidc/lemon/callback"),
        "IDTokenSignAlg": "RS256",
        "IDTokenForceClaims": 1,
        "UserIDAttr": "uid",
        "RequirePKCE": 1,
    })},
    "oidcRPMetaDataExportedVars": {"broker": {
        "email": "mail", "name": "cn", "groups": "groups;string;always", "preferred_username": "uid",
    }},
    "oidcRPMetaDataOptionsExtraClaims": {"broker": {"groups": "groups"}},
    # Second factor: whoever is signed in may register one.
    "totp2fActivation": 1,
    "totp2fSelfRegistration": 1,
    "totp2fAuthnLevel": 5,
    "totp2fIssuer": "lemonldap-ng",
    "sfRequired": 0,
}
for path in glob.glob(os.path.join(scratch, "sp-metadata", "*.xml")):
    name = os.path.splitext(os.path.basename(path))[0]
    conf["samlSPMetaDataXML"][name] = {"samlSPMetaDataXML": read("sp-metadata", name + ".xml")}
    conf["samlSPMetaDataOptions"][name] = {
        "samlSPMetaDataOptionsCheckSSOMessageSignature": int(env("CHECK_SIG", "0")),
        "samlSPMetaDataOptionsSignSSOMessage": 1,
        "samlSPMetaDataOptionsNameIDFormat": env("NAMEID", "email"),
        "samlSPMetaDataOptionsEncryptionMode": env("ENCRYPT", "none"),
    }
    conf["samlSPMetaDataExportedAttributes"][name] = {
        "mail": "1;mail;;", "uid": "1;uid;;", "cn": "0;displayName;;", "groups": "0;groups;;",
    }

with open(f"{scratch}/conf/lmConf-1.json", "w", encoding="utf-8") as f:
    json.dump(conf, f, indent=1)
with open(f"{scratch}/lemonldap-ng.ini", "w", encoding="utf-8") as f:
    f.write(f"""[all]
logLevel = {env('LOGLEVEL', 'info')}
logger = Lemonldap::NG::Common::Logger::Std
userLogger = Lemonldap::NG::Common::Logger::Std
checkTime = 3600
localSessionStorage = Cache::FileCache
localSessionStorageOptions = {{ 'namespace' => 'lemonldap-ng-sessions', 'default_expires_in' => 600, 'cache_root' => '{scratch}/cache' }}
[configuration]
type = File
dirName = {scratch}/conf
localStorage = Cache::FileCache
localStorageOptions = {{ 'namespace' => 'lemonldap-ng-config', 'default_expires_in' => 600, 'cache_root' => '{scratch}/cache' }}
[portal]
staticPrefix = /static
templateDir = /usr/share/lemonldap-ng/portal/templates
languages = en
[handler]
status = 0
useRedirectOnError = 1
""")
