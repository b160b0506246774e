"""An organization's own admin site, at ``/manage/{organizationId}/``: what its OWNERs and ADMINs do by clicking."""
