//! The operations of S3: how each is told from the others, and the actions it needs.
//!
//! After the reference of the S3 API and the list of its actions in the Service Authorization Reference. Many names
//! of actions are not those of their operations: `ListObjectsV2` needs `s3:ListBucket`, `DeleteBucketCors` needs
//! `s3:PutBucketCORS`.

use super::target::Scope::{self, Bucket, Object, Service};

/// One operation.
pub(super) struct Route {
    pub(super) scope: Scope,
    pub(super) method: &'static str,
    /// The parameters that name it; all of them stand in the query.
    pub(super) needs: &'static [&'static str],
    /// Parameters that may stand beside them.
    may: &'static [&'static str],
    /// Whether the header `x-amz-copy-source` belongs to it.
    pub(super) copies: bool,
    /// Its name in the reference.
    pub(super) operation: &'static str,
    /// The actions it needs on what its path names.
    pub(super) actions: &'static [&'static str],
    /// Those instead where a `versionId` is given.
    pub(super) versioned: &'static [&'static str],
    /// Whether it makes something that ACLs, tags and locks can be set on by headers.
    pub(super) creates: bool,
}

impl Route {
    const fn may(mut self, may: &'static [&'static str]) -> Route {
        self.may = may;
        self
    }

    const fn versioned(mut self, versioned: &'static [&'static str]) -> Route {
        self.versioned = versioned;
        self
    }

    const fn copies(mut self) -> Route {
        self.copies = true;
        self
    }

    const fn creates(mut self) -> Route {
        self.creates = true;
        self
    }

    /// Whether a parameter may stand in its query. SDKs add `x-id` with the operation's name to any.
    pub(super) fn takes(&self, name: &str) -> bool {
        self.needs.contains(&name) || self.may.contains(&name) || name == "x-id"
    }
}

const fn route(
    method: &'static str,
    scope: Scope,
    needs: &'static [&'static str],
    operation: &'static str,
    actions: &'static [&'static str],
) -> Route {
    Route {
        scope,
        method,
        needs,
        may: &[],
        copies: false,
        operation,
        actions,
        versioned: &[],
        creates: false,
    }
}

const GET: &[&str] = &[
    "partNumber",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "versionId",
];
const LIST: &[&str] = &["delimiter", "encoding-type", "marker", "max-keys", "prefix"];
const LIST_2: &[&str] = &[
    "continuation-token",
    "delimiter",
    "encoding-type",
    "fetch-owner",
    "max-keys",
    "prefix",
    "start-after",
];
const LIST_VERSIONS: &[&str] = &[
    "delimiter",
    "encoding-type",
    "key-marker",
    "max-keys",
    "prefix",
    "version-id-marker",
];
const LIST_UPLOADS: &[&str] = &[
    "delimiter",
    "encoding-type",
    "key-marker",
    "max-uploads",
    "prefix",
    "upload-id-marker",
];
const LIST_BUCKETS: &[&str] = &[
    "bucket-region",
    "continuation-token",
    "max-buckets",
    "prefix",
];
const PAGE: &[&str] = &["continuation-token"];
const VERSION: &[&str] = &["versionId"];

/// Every operation that is mapped. No two rows take one request.
#[rustfmt::skip]
pub(super) const ROUTES: &[Route] = &[
    route("GET", Service, &[], "ListBuckets", &["s3:ListAllMyBuckets"]).may(LIST_BUCKETS),

    // Objects.
    route("GET", Object, &[], "GetObject", &["s3:GetObject"]).may(GET).versioned(&["s3:GetObjectVersion"]),
    route("HEAD", Object, &[], "HeadObject", &["s3:GetObject"]).may(GET).versioned(&["s3:GetObjectVersion"]),
    route("PUT", Object, &[], "PutObject", &["s3:PutObject"]).creates(),
    route("PUT", Object, &[], "CopyObject", &["s3:PutObject"]).copies().creates(),
    route("DELETE", Object, &[], "DeleteObject", &["s3:DeleteObject"]).may(VERSION).versioned(&["s3:DeleteObjectVersion"]),
    route("GET", Object, &["attributes"], "GetObjectAttributes", &["s3:GetObject", "s3:GetObjectAttributes"]).may(VERSION)
        .versioned(&["s3:GetObjectVersion", "s3:GetObjectVersionAttributes"]),
    route("GET", Object, &["acl"], "GetObjectAcl", &["s3:GetObjectAcl"]).may(VERSION).versioned(&["s3:GetObjectVersionAcl"]),
    route("PUT", Object, &["acl"], "PutObjectAcl", &["s3:PutObjectAcl"]).may(VERSION).versioned(&["s3:PutObjectVersionAcl"]),
    route("GET", Object, &["tagging"], "GetObjectTagging", &["s3:GetObjectTagging"]).may(VERSION)
        .versioned(&["s3:GetObjectVersionTagging"]),
    route("PUT", Object, &["tagging"], "PutObjectTagging", &["s3:PutObjectTagging"]).may(VERSION)
        .versioned(&["s3:PutObjectVersionTagging"]),
    route("DELETE", Object, &["tagging"], "DeleteObjectTagging", &["s3:DeleteObjectTagging"]).may(VERSION)
        .versioned(&["s3:DeleteObjectVersionTagging"]),
    route("GET", Object, &["retention"], "GetObjectRetention", &["s3:GetObjectRetention"]).may(VERSION),
    route("PUT", Object, &["retention"], "PutObjectRetention", &["s3:PutObjectRetention"]).may(VERSION),
    route("GET", Object, &["legal-hold"], "GetObjectLegalHold", &["s3:GetObjectLegalHold"]).may(VERSION),
    route("PUT", Object, &["legal-hold"], "PutObjectLegalHold", &["s3:PutObjectLegalHold"]).may(VERSION),
    route("GET", Object, &["torrent"], "GetObjectTorrent", &["s3:GetObjectTorrent"]).may(VERSION)
        .versioned(&["s3:GetObjectVersionTorrent"]),
    route("POST", Object, &["restore"], "RestoreObject", &["s3:RestoreObject"]).may(VERSION),
    route("POST", Object, &["select", "select-type"], "SelectObjectContent", &["s3:GetObject"]),

    // Uploads in parts.
    route("POST", Object, &["uploads"], "CreateMultipartUpload", &["s3:PutObject"]).creates(),
    route("PUT", Object, &["partNumber", "uploadId"], "UploadPart", &["s3:PutObject"]),
    route("PUT", Object, &["partNumber", "uploadId"], "UploadPartCopy", &["s3:PutObject"]).copies(),
    route("POST", Object, &["uploadId"], "CompleteMultipartUpload", &["s3:PutObject"]),
    route("DELETE", Object, &["uploadId"], "AbortMultipartUpload", &["s3:AbortMultipartUpload"]),
    route("GET", Object, &["uploadId"], "ListParts", &["s3:ListMultipartUploadParts"])
        .may(&["encoding-type", "max-parts", "part-number-marker"]),

    // Buckets and what they list.
    route("GET", Bucket, &[], "ListObjects", &["s3:ListBucket"]).may(LIST),
    route("GET", Bucket, &["list-type"], "ListObjectsV2", &["s3:ListBucket"]).may(LIST_2),
    route("GET", Bucket, &["versions"], "ListObjectVersions", &["s3:ListBucketVersions"]).may(LIST_VERSIONS),
    route("GET", Bucket, &["uploads"], "ListMultipartUploads", &["s3:ListBucketMultipartUploads"]).may(LIST_UPLOADS),
    route("HEAD", Bucket, &[], "HeadBucket", &["s3:ListBucket"]),
    route("PUT", Bucket, &[], "CreateBucket", &["s3:CreateBucket"]).creates(),
    route("DELETE", Bucket, &[], "DeleteBucket", &["s3:DeleteBucket"]),
    route("POST", Bucket, &["delete"], "DeleteObjects", &["s3:DeleteObject"]),

    // What buckets are configured with.
    route("GET", Bucket, &["location"], "GetBucketLocation", &["s3:GetBucketLocation"]),
    route("GET", Bucket, &["acl"], "GetBucketAcl", &["s3:GetBucketAcl"]),
    route("PUT", Bucket, &["acl"], "PutBucketAcl", &["s3:PutBucketAcl"]),
    route("GET", Bucket, &["policy"], "GetBucketPolicy", &["s3:GetBucketPolicy"]),
    route("PUT", Bucket, &["policy"], "PutBucketPolicy", &["s3:PutBucketPolicy"]),
    route("DELETE", Bucket, &["policy"], "DeleteBucketPolicy", &["s3:DeleteBucketPolicy"]),
    route("GET", Bucket, &["policyStatus"], "GetBucketPolicyStatus", &["s3:GetBucketPolicyStatus"]),
    route("GET", Bucket, &["versioning"], "GetBucketVersioning", &["s3:GetBucketVersioning"]),
    route("PUT", Bucket, &["versioning"], "PutBucketVersioning", &["s3:PutBucketVersioning"]),
    route("GET", Bucket, &["lifecycle"], "GetBucketLifecycleConfiguration", &["s3:GetLifecycleConfiguration"]),
    route("PUT", Bucket, &["lifecycle"], "PutBucketLifecycleConfiguration", &["s3:PutLifecycleConfiguration"]),
    route("DELETE", Bucket, &["lifecycle"], "DeleteBucketLifecycle", &["s3:PutLifecycleConfiguration"]),
    route("GET", Bucket, &["tagging"], "GetBucketTagging", &["s3:GetBucketTagging"]),
    route("PUT", Bucket, &["tagging"], "PutBucketTagging", &["s3:PutBucketTagging"]),
    route("DELETE", Bucket, &["tagging"], "DeleteBucketTagging", &["s3:PutBucketTagging"]),
    route("GET", Bucket, &["cors"], "GetBucketCors", &["s3:GetBucketCORS"]),
    route("PUT", Bucket, &["cors"], "PutBucketCors", &["s3:PutBucketCORS"]),
    route("DELETE", Bucket, &["cors"], "DeleteBucketCors", &["s3:PutBucketCORS"]),
    route("GET", Bucket, &["encryption"], "GetBucketEncryption", &["s3:GetEncryptionConfiguration"]),
    route("PUT", Bucket, &["encryption"], "PutBucketEncryption", &["s3:PutEncryptionConfiguration"]),
    route("DELETE", Bucket, &["encryption"], "DeleteBucketEncryption", &["s3:PutEncryptionConfiguration"]),
    route("GET", Bucket, &["logging"], "GetBucketLogging", &["s3:GetBucketLogging"]),
    route("PUT", Bucket, &["logging"], "PutBucketLogging", &["s3:PutBucketLogging"]),
    route("GET", Bucket, &["notification"], "GetBucketNotificationConfiguration", &["s3:GetBucketNotification"]),
    route("PUT", Bucket, &["notification"], "PutBucketNotificationConfiguration", &["s3:PutBucketNotification"]),
    route("GET", Bucket, &["website"], "GetBucketWebsite", &["s3:GetBucketWebsite"]),
    route("PUT", Bucket, &["website"], "PutBucketWebsite", &["s3:PutBucketWebsite"]),
    route("DELETE", Bucket, &["website"], "DeleteBucketWebsite", &["s3:DeleteBucketWebsite"]),
    route("GET", Bucket, &["replication"], "GetBucketReplication", &["s3:GetReplicationConfiguration"]),
    route("PUT", Bucket, &["replication"], "PutBucketReplication", &["s3:PutReplicationConfiguration"]),
    route("DELETE", Bucket, &["replication"], "DeleteBucketReplication", &["s3:PutReplicationConfiguration"]),
    route("GET", Bucket, &["requestPayment"], "GetBucketRequestPayment", &["s3:GetBucketRequestPayment"]),
    route("PUT", Bucket, &["requestPayment"], "PutBucketRequestPayment", &["s3:PutBucketRequestPayment"]),
    route("GET", Bucket, &["accelerate"], "GetBucketAccelerateConfiguration", &["s3:GetAccelerateConfiguration"]),
    route("PUT", Bucket, &["accelerate"], "PutBucketAccelerateConfiguration", &["s3:PutAccelerateConfiguration"]),
    route("GET", Bucket, &["ownershipControls"], "GetBucketOwnershipControls", &["s3:GetBucketOwnershipControls"]),
    route("PUT", Bucket, &["ownershipControls"], "PutBucketOwnershipControls", &["s3:PutBucketOwnershipControls"]),
    route("DELETE", Bucket, &["ownershipControls"], "DeleteBucketOwnershipControls", &["s3:PutBucketOwnershipControls"]),
    route("GET", Bucket, &["publicAccessBlock"], "GetPublicAccessBlock", &["s3:GetBucketPublicAccessBlock"]),
    route("PUT", Bucket, &["publicAccessBlock"], "PutPublicAccessBlock", &["s3:PutBucketPublicAccessBlock"]),
    route("DELETE", Bucket, &["publicAccessBlock"], "DeletePublicAccessBlock", &["s3:PutBucketPublicAccessBlock"]),
    route("GET", Bucket, &["object-lock"], "GetObjectLockConfiguration", &["s3:GetBucketObjectLockConfiguration"]),
    route("PUT", Bucket, &["object-lock"], "PutObjectLockConfiguration", &["s3:PutBucketObjectLockConfiguration"]),
    route("GET", Bucket, &["analytics", "id"], "GetBucketAnalyticsConfiguration", &["s3:GetAnalyticsConfiguration"]),
    route("PUT", Bucket, &["analytics", "id"], "PutBucketAnalyticsConfiguration", &["s3:PutAnalyticsConfiguration"]),
    route("DELETE", Bucket, &["analytics", "id"], "DeleteBucketAnalyticsConfiguration", &["s3:PutAnalyticsConfiguration"]),
    route("GET", Bucket, &["analytics"], "ListBucketAnalyticsConfigurations", &["s3:GetAnalyticsConfiguration"]).may(PAGE),
    route("GET", Bucket, &["inventory", "id"], "GetBucketInventoryConfiguration", &["s3:GetInventoryConfiguration"]),
    route("PUT", Bucket, &["inventory", "id"], "PutBucketInventoryConfiguration", &["s3:PutInventoryConfiguration"]),
    route("DELETE", Bucket, &["inventory", "id"], "DeleteBucketInventoryConfiguration", &["s3:PutInventoryConfiguration"]),
    route("GET", Bucket, &["inventory"], "ListBucketInventoryConfigurations", &["s3:GetInventoryConfiguration"]).may(PAGE),
    route("GET", Bucket, &["metrics", "id"], "GetBucketMetricsConfiguration", &["s3:GetMetricsConfiguration"]),
    route("PUT", Bucket, &["metrics", "id"], "PutBucketMetricsConfiguration", &["s3:PutMetricsConfiguration"]),
    route("DELETE", Bucket, &["metrics", "id"], "DeleteBucketMetricsConfiguration", &["s3:PutMetricsConfiguration"]),
    route("GET", Bucket, &["metrics"], "ListBucketMetricsConfigurations", &["s3:GetMetricsConfiguration"]).may(PAGE),
    route("GET", Bucket, &["intelligent-tiering", "id"], "GetBucketIntelligentTieringConfiguration",
        &["s3:GetIntelligentTieringConfiguration"]),
    route("PUT", Bucket, &["intelligent-tiering", "id"], "PutBucketIntelligentTieringConfiguration",
        &["s3:PutIntelligentTieringConfiguration"]),
    route("DELETE", Bucket, &["intelligent-tiering", "id"], "DeleteBucketIntelligentTieringConfiguration",
        &["s3:PutIntelligentTieringConfiguration"]),
    route("GET", Bucket, &["intelligent-tiering"], "ListBucketIntelligentTieringConfigurations",
        &["s3:GetIntelligentTieringConfiguration"]).may(PAGE),
];
